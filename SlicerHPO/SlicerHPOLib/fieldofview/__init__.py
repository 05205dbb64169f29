"""Field of view of MR volumes: which regions one shows and where each begins (Bertrand 2019, section 2.6)."""
