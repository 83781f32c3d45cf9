"""Who may do what at the endpoints: certificates, tokens with scopes, and what one client may take."""
