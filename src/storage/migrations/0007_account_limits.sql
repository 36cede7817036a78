-- What an operator has set for an account over its key's tier. NULL: as the tier says; 0: no limit.
CREATE TABLE account_limits (
  account_id INTEGER PRIMARY KEY REFERENCES accounts (id),
  tier TEXT,
  requests_per_minute INTEGER CHECK (requests_per_minute >= 0),
  tokens_per_minute INTEGER CHECK (tokens_per_minute >= 0),
  tokens_per_day INTEGER CHECK (tokens_per_day >= 0),
  concurrent_requests INTEGER CHECK (concurrent_requests >= 0),
  concurrent_jobs INTEGER CHECK (concurrent_jobs >= 0)
) STRICT;
