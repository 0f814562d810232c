-- Entering: whether a call may go now, and for how long it has to wait if not.

local BUSY_SECONDS = 0.1
local GROUPS_SHOWN = 20

-- What a class leaves to those above it, as a share of the limit: at the start of a window, and always. Of what is
-- left always there is enough for one call, if that is no more than LEAST of the limit.
local LEAVES = { action = 0, repair = 0.10, poll = 0.15, backfill = 0.30 }
local ALWAYS_LEAVES = { action = 0, repair = 0.01, poll = 0.02, backfill = 0.03 }
local LEAST = 0.05
local SLOTS_LEFT = { action = 0, repair = 0.05, poll = 0.10, backfill = 0.25 }

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
