-- When a key was last used: written in batches, so up to `keys.last_used_flush_ms` behind.
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
