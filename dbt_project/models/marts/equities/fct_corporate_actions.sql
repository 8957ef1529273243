{{ judged_corporate_actions('(' ~ corporate_actions_as_of() ~ ')', ref('fct_bars_1d')) }}
