{{ rolled_up_as_of(3600, ':known_at', bars_in_question()) }}
