{{ rolled_up_as_of(86400, ':known_at', bars_in_question()) }}
