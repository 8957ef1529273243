{{ symbol_history('(' ~ corporate_actions_as_of() ~ ')', ref('fct_bars_1d')) }}
