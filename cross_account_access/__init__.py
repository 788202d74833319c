"""Who may do what, decided and proven from templates."""
