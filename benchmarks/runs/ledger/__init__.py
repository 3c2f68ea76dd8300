"""The ledger: what the source papers claim, and what our records say of it (``docs/claims.md``)."""
