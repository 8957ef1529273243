{{ bars_as_of(':known_at', bars_in_question()) }}
