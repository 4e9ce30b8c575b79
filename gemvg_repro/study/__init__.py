"""What to run: parameters, profiles, variants, identity, plan."""
