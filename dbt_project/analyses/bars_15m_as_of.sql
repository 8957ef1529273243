{{ rolled_up_as_of(900, ':known_at', bars_in_question()) }}
