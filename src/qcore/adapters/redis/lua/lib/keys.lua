-- The numbers of a queue's keys, as in keys.py, which also says what each key holds.
--
-- KEYS holds WIDTH keys for each queue, in this order. A function that takes `base` works on the
-- queue whose keys are KEYS[base + 1] to KEYS[base + WIDTH].
local META, TASKS, PENDING, SESSION, BLOCKS, SCHEDULED, RETRY, AGGREGATING = 1, 2, 3, 4, 5, 6, 7, 8
local ACTIVE, COMPLETED, ARCHIVED, DEAD, PROGRESS, EXPIRING = 9, 10, 11, 12, 13, 14
local RETAINED, UNIQUE, DETAILS, GROUPS, WIDTH = 15, 16, 17, 18, 18

local call, sub, byte, format = redis.call, string.sub, string.byte, string.format
