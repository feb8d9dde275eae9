-- What check_types takes to check every key but META, which read_version checks, and SESSION.
local ALL_KEYS = {
  TASKS, PENDING, BLOCKS, SCHEDULED, RETRY, AGGREGATING, ACTIVE, COMPLETED, ARCHIVED, DEAD,
  PROGRESS, EXPIRING, RETAINED, UNIQUE, DETAILS, GROUPS,
}
