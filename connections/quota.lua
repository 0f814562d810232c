-- The ledger of a provider's quotas for one credential. KEYS[1] is the credential, the others one quota each, in the
-- order of call.quotas; ARGV[1] is the call as JSON. All times are Redis' own, in seconds. State is a cache: whatever
-- is missing starts from what the quota declares, and the next answer of the provider corrects it.

local STEPS = 50        -- parts of a rolling window; a part is free again when all of it has left the window
local SLOT_SECONDS = 120 -- after which a call whose process died counts as answered
local BUSY_SECONDS = 0.1
local LONGEST_PAUSE_SECONDS = 900
local MEMORY_SECONDS = 7200 -- of a credential's clock and of how often it was refused
local GROUPS_SHOWN = 20

-- What a class leaves to those above it, as a share of the limit: at the start of a window, and always. Of what is
-- left always there is enough for one call, if that is no more than LEAST of the limit.
local LEAVES = { action = 0, repair = 0.10, poll = 0.15, backfill = 0.30 }
local ALWAYS_LEAVES = { action = 0, repair = 0.01, poll = 0.02, backfill = 0.03 }
local LEAST = 0.05
local SLOTS_LEFT = { action = 0, repair = 0.05, poll = 0.10, backfill = 0.25 }

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
  for _, field in ipairs({ 'reset', 'at', 'write_at', 'limit_at' }) do
    state[field] = state[field] and state[field] - seconds
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

-- Quotas ---------------------------------------------------------------------------------------------------------

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

-- Units a class has to leave now and always, the part of a unit that was rounded off, and what shrinks in a second.
local function reserve_of(quota, state, traffic)
  if traffic == 'action' then
    return { units = 0, least = 0, rest = 0, shrinks = 0 }
  end
  local limit, share, shrinks = limit_of(quota, state), LEAVES[traffic], 0
  if quota.kind == 'rolling' then
    share = 0
  elseif quota.kind == 'fixed' and is_told(state) then
    shrinks = limit * share / quota.window
    share = share * math.min(1, (state.reset - now) / quota.window)
  end
  local least = math.floor(math.max(limit * ALWAYS_LEAVES[traffic], math.min(quota.dearest, limit * LEAST)))
  local units = math.max(least, math.floor(limit * share))
  return { units = units, least = least, rest = math.max(0, limit * share - units), shrinks = shrinks }
end

-- Seconds until so many units more are free for a class.
local function until_free(quota, state, units, reserve)
  if quota.kind == 'fixed' and is_told(state) then
    if units > reserve.units - reserve.least then
      return state.reset - now
    end
    return (math.max(0, units - 1) + reserve.rest) / reserve.shrinks + 0.001
  end
  if quota.kind == 'leaky' then
    return units / (limit_of(quota, state) / quota.window)
  end
  local step, order = quota.window / STEPS, {}
  for index in pairs(state.parts) do
    order[#order + 1] = index
  end
  table.sort(order)
  for _, index in ipairs(order) do
    units = units - state.parts[index]
    if units <= 0 then
      return (index + 1) * step + quota.window - now
    end
  end
  return BUSY_SECONDS -- the rest is under way
end

-- How long this call has to wait, and why; 0 if it may go.
local function wait_for(quota, state)
  if state.block and now < state.block.ends then
    return state.block.ends - now, state.block.why
  end
  local units, calls, writes = under_way(state)
  if quota.concurrency > 0 then
    local left = math.min(quota.concurrency - 1, math.ceil(quota.concurrency * SLOTS_LEFT[call.traffic]))
    if calls >= quota.concurrency - left then
      return BUSY_SECONDS, 'busy'
    end
  end
  if quota.spacing > 0 and quota.write then
    if writes > 0 then
      return BUSY_SECONDS, 'busy'
    elseif state.write_at and now < state.write_at then
      return state.write_at - now, 'busy'
    end
  end
  if quota.units > 0 then
    local limit, reserve = limit_of(quota, state), reserve_of(quota, state, call.traffic)
    local free = limit - reserve.units
    local missing = used_of(quota, state) + units + math.min(quota.cost, free) - free
    if missing > 0 then
      -- What is under way may have been counted by the provider already, or cost less than was set aside.
      local soon = missing <= units and BUSY_SECONDS or math.huge
      return math.min(soon, math.max(0.001, until_free(quota, state, missing, reserve))), 'spent'
    end
  end
  return 0, ''
end

-- What answers teach -----------------------------------------------------------------------------------------------

-- Bounds of how far the provider's clock is ahead of ours. Its Date has whole seconds, and was written between our
-- entering and now; what contradicts the bounds so far means that a clock was set.
local function learn_clock(credential)
  if not call.date then
    return
  end
  local low, high = call.date - now, call.date + 1 - call.entered
  local known = credential.ahead
  if known and math.max(low, known.low) <= math.min(high, known.high) then
    low, high = math.max(low, known.low), math.min(high, known.high)
  end
  credential.ahead = { low = low, high = high }
end

-- The latest moment, by our clock, at which the reset that was told can be.
local function reset_by_our_clock(credential, quota, told)
  local rounding = math.min(1, quota.window / 100)
  if told.delta then
    return now + told.reset + rounding
  end
  return told.reset - (credential.ahead and credential.ahead.low or 0) + rounding
end

-- Units the answer tells as used: by its own limit, which need not be the one that holds here.
local function used_told(quota, state, told)
  return math.max(0, (told.limit or limit_of(quota, state)) - told.remaining)
end

local function learn_limit(state, told)
  if not told.limit or told.limit <= 0 then
    return
  end
  -- A call that was under way when the limit was learned may tell an older one.
  if not state.limit or told.limit < state.limit or call.entered > state.limit_at then
    state.limit, state.limit_at = told.limit, now
  end
end

-- An answer tells how much of its window was used when the provider saw the call: by us, whether answered since or
-- not, and by others. The highest that was told therefore covers all that is answered; what is under way is added
-- where it is asked for. A lower one is older and teaches nothing.
local function learn_window(credential, quota, state, told)
  local ends = reset_by_our_clock(credential, quota, told)
  local window = told.delta and ends or told.reset
  local spread = math.min(2, quota.window / 4)
  local known = is_told(state)
  if ends <= now or (known and window < state.window - spread) then
    return
  end
  learn_limit(state, told)
  local used = used_told(quota, state, told)
  if known and window <= state.window + spread then
    state.used = math.max(state.used, used)
  else
    -- Of a window nobody told of, only answers without counters were noted here.
    local noted = known and 0 or used_of(quota, state)
    state.used, state.parts = math.max(used, noted), {}
  end
  state.window, state.reset = window, ends
end

local function learn(credential, quota, state, units)
  local told = quota.told
  if not told or not told.remaining then
    if told then
      learn_limit(state, told)
    end
    charge(quota, state, units)
  elseif quota.kind == 'fixed' and told.reset then
    learn_window(credential, quota, state, told)
  else
    learn_limit(state, told)
    local used = used_told(quota, state, told)
    if quota.kind == 'leaky' then
      state.used = math.max(used_of(quota, state), used)
    else
      charge(quota, state, units)
      charge(quota, state, math.max(0, used - used_of(quota, state) - under_way(state)))
    end
  end
end

local function block(state, ends, why)
  local known = state.block or { ends = 0, strikes = 0 }
  if ends > known.ends then
    known.ends, known.why = ends, why
  end
  known.noted, state.block = now, known
end

-- A refusal without a time: a pause that doubles, once for all calls that were under way together.
local function strike(state)
  local known = state.block
  if known and call.entered < known.noted then
    return
  end
  local strikes = (known and known.strikes or 0) + 1
  block(state, now + math.min(LONGEST_PAUSE_SECONDS, call.pause * 2 ^ math.min(strikes - 1, 20)), 'refused')
  state.block.strikes = strikes
end

-- Whether a quota that was told as empty explains the refusal; it is closed until its reset then.
local function explained(credential, states)
  local found = false
  for index, quota in ipairs(call.quotas) do
    local told, state = quota.told, states[index]
    if told and told.remaining and told.remaining <= 0 and told.reset then
      local ends = reset_by_our_clock(credential, quota, told)
      if ends > now then
        block(state, ends, 'spent')
        found = true
      end
    end
  end
  return found
end

-- The calls ------------------------------------------------------------------------------------------------------

local function note_groups(credential)
  local groups, changed = credential.groups or {}, false
  for _, quota in ipairs(call.quotas) do
    if quota.group ~= '' then
      groups[quota.name .. '\n' .. quota.group], changed = now, true
    end
  end
  if not changed then
    return
  end
  local count, oldest = 0, nil
  for label, used in pairs(groups) do
    count = count + 1
    if not oldest or used < groups[oldest] then
      oldest = label
    end
  end
  if count > GROUPS_SHOWN then
    groups[oldest] = nil
  end
  credential.groups = groups
  save(KEYS[1], credential, MEMORY_SECONDS)
end

local function enter()
  local credential = load(KEYS[1], 1, MEMORY_SECONDS)
  local wait, why, name, states = 0, '', '', {}
  if credential.block and now < credential.block.ends then
    wait, why = credential.block.ends - now, credential.block.why
  end
  for index, quota in ipairs(call.quotas) do
    local state = open(index, quota)
    local longer, reason = wait_for(quota, state)
    if longer > wait then
      wait, why, name = longer, reason, quota.name
    end
    states[index] = state
  end
  if wait > 0 then
    return { wait = wait, why = why, quota = name }
  end
  for index, quota in ipairs(call.quotas) do
    local state = states[index]
    local units = math.min(quota.cost, limit_of(quota, state))
    state.flight[call.ticket] = { ends = now + SLOT_SECONDS, units = units, write = quota.write }
    close(index, quota, state)
  end
  note_groups(credential)
  return { wait = 0, entered = now }
end

local function settle()
  local credential, states, separate = load(KEYS[1], 1, MEMORY_SECONDS), {}, {}
  learn_clock(credential)
  for index, quota in ipairs(call.quotas) do
    local state = open(index, quota)
    local flight = state.flight[call.ticket]
    state.flight[call.ticket] = nil
    if call.sent then
      -- Without a slot it was counted when the slot ended, or Redis forgot all of it.
      learn(credential, quota, state, flight and (quota.actual or flight.units) or 0)
      if quota.spacing > 0 and quota.write then
        state.write_at = now + quota.spacing
      end
    end
    states[index] = state
    if quota.separate then
      separate[#separate + 1] = state
    end
  end
  local meant = #separate > 0 and separate or { credential }
  if call.wait then
    for _, state in ipairs(meant) do
      block(state, now + call.wait, 'asked')
    end
  elseif call.limited and not explained(credential, states) then
    for _, state in ipairs(meant) do
      strike(state)
    end
  elseif call.succeeded then
    for _, state in ipairs(meant) do
      if state.block and call.entered >= state.block.ends then
        state.block = nil
      end
    end
  end
  for index, quota in ipairs(call.quotas) do
    close(index, quota, states[index])
  end
  save(KEYS[1], credential, MEMORY_SECONDS)
  return {}
end

local function shown_block(state)
  local known = state.block
  return known and now < known.ends and { ends = known.ends, why = known.why } or nil
end

local function look()
  local credential, seen = load(KEYS[1], 1, MEMORY_SECONDS), {}
  for index, quota in ipairs(call.quotas) do
    local state = open(index, quota)
    local units, calls = under_way(state)
    local used = used_of(quota, state)
    seen[index] = {
      limit = limit_of(quota, state),
      remaining = math.max(0, limit_of(quota, state) - used - units),
      resets_at = quota.kind == 'fixed' and is_told(state) and state.reset or nil,
      block = shown_block(state),
      under_way = calls,
    }
  end
  local groups = {}
  for label in pairs(credential.groups or {}) do
    groups[#groups + 1] = label
  end
  return { quotas = seen, groups = groups, block = shown_block(credential) }
end

local answers = { enter = enter, settle = settle, look = look }
return cjson.encode(answers[call.op]())
