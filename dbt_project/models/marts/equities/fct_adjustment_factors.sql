{{ adjustment_factors(ref('fct_corporate_actions')) }}
