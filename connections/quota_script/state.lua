-- The ledger of a provider's quotas for one credential: what is kept, and how units are counted. state.lua, enter.lua,
-- settle.lua and look.lua are one script, in this order. KEYS[1] is the credential, the others one quota each, in the
-- order of call.quotas; ARGV[1] is the call as JSON. All times are Redis' own, in seconds. State is a cache: whatever
-- is missing starts from what the quota declares, and the next answer of the provider corrects it.

local STEPS = 50        -- parts of a rolling window; a part is free again when all of it has left the window
local SLOT_SECONDS = 120 -- after which a call whose process died counts as answered
local MEMORY_SECONDS = 7200 -- of a credential's clock and of how often it was refused

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local now = clock()
local call = cjson.decode(ARGV[1])

local function save(key, state, seconds)
  local block = state.block and math.max(0, state.block.ends - now) or 0
  redis.call('SET', key, cmsgpack.pack(state), 'EX', math.ceil(seconds + block))
end

-- A clock that was set back takes along all that was noted by it.
local function set_back(state, seconds, step)
  for _, field in ipairs({ 'reset', 'at', 'write_at', 'limit_at', 'window_at' }) do
    state[field] = state[field] and state[field] - seconds
  end
  if state.delta then -- else the window is named by the provider's clock
    state.window = state.window - seconds
  end
  for _, flight in pairs(state.flight) do
    flight.ends = flight.ends - seconds
  end
  if state.block then
    state.block.ends, state.block.noted = state.block.ends - seconds, state.block.noted - seconds
  end
  local parts = {}
  for index, units in pairs(state.parts) do
    parts[index - math.floor(seconds / step)] = units
  end
  state.parts = parts
end

local function load(key, step, lasts)
  local kept = redis.call('GET', key)
  local state = kept and cmsgpack.unpack(kept) or {}
  state.flight, state.parts = state.flight or {}, state.parts or {}
  local back = (state.seen or now) - now
  state.seen = now
  if back > 0 then
    set_back(state, back, step)
    save(key, state, lasts)
  end
  return state
end

local function limit_of(quota, state)
  return state.limit or quota.units
end

local function is_told(state)
  return state.reset ~= nil and now < state.reset
end

-- Units used in the window that ends now, without those under way.
local function used_of(quota, state)
  if quota.kind == 'fixed' and is_told(state) then
    return state.used
  end
  if quota.kind == 'leaky' then
    local rate = limit_of(quota, state) / quota.window
    local used = math.max(0, (state.used or 0) - math.max(0, now - (state.at or now)) * rate)
    state.used, state.at = used, now
    return used
  end
  local step, sum = quota.window / STEPS, 0
  for index, units in pairs(state.parts) do
    if (index + 1) * step > now - quota.window then
      sum = sum + units
    else
      state.parts[index] = nil
    end
  end
  return sum
end

local function charge(quota, state, units)
  local used = used_of(quota, state)
  if quota.kind == 'leaky' or (quota.kind == 'fixed' and is_told(state)) then
    state.used = used + units
  else
    local index = math.floor(now / (quota.window / STEPS))
    state.parts[index] = (state.parts[index] or 0) + units
  end
end

local function lasts(quota)
  return 2 * quota.window + SLOT_SECONDS
end

local function open(index, quota)
  local state = load(KEYS[index + 1], quota.window / STEPS, lasts(quota))
  for ticket, flight in pairs(state.flight) do
    if flight.ends <= now then
      state.flight[ticket] = nil
      charge(quota, state, flight.units)
    end
  end
  return state
end

local function close(index, quota, state)
  save(KEYS[index + 1], state, lasts(quota))
end

local function under_way(state)
  local units, calls, writes = 0, 0, 0
  for _, flight in pairs(state.flight) do
    units, calls, writes = units + flight.units, calls + 1, writes + (flight.write and 1 or 0)
  end
  return units, calls, writes
end
