{{ rolled_up_as_of(300, ':known_at', bars_in_question()) }}
