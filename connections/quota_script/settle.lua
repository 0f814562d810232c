-- Settling: units and slots are given back or spent, and the answer teaches what it tells.

local LONGEST_PAUSE_SECONDS = 900
local LONGEST_BLOCK_SECONDS = 86400

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

-- The latest moment, by our clock, at which the reset that was told can be; nil if none was. One further off than the
-- ledger lasts, two windows and a little, is wrong: told in another unit, or by a clock nobody knows.
local function reset_by_our_clock(credential, quota)
  local told, ends = quota.told, nil
  if not told or not told.reset then
    return nil
  elseif told.delta then
    ends = now + told.reset
  else
    ends = told.reset - (credential.ahead and credential.ahead.low or 0)
  end
  return ends - now <= lasts(quota) and ends + math.min(1, quota.window / 100) or nil
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
-- where it is asked for. A lower one is older and teaches nothing. An answer of another window teaches nothing either;
-- it is free only if its call can have been counted there, having left before that window ended or this one was known.
local function learn_window(quota, state, told, ends, units)
  local window = told.delta and ends or told.reset
  local spread = math.min(2, quota.window / 4)
  local known = is_told(state)
  local over, older = ends <= now, known and window < state.window - spread
  if over or older then
    if not (over and call.entered < ends) and not (older and call.entered < state.window_at) then
      charge(quota, state, units)
    end
    return
  end
  learn_limit(state, told)
  local used = used_told(quota, state, told)
  if known and window <= state.window + spread then
    state.used = math.max(state.used, used)
  else
    -- Of a window nobody told of, only answers without counters were noted here.
    local noted = known and 0 or used_of(quota, state)
    state.used, state.parts, state.window_at = math.max(used, noted), {}, now
  end
  state.window, state.reset, state.delta = window, ends, told.delta
end

local function learn(credential, quota, state, units)
  local told, ends = quota.told, reset_by_our_clock(credential, quota)
  if not told or not told.remaining then
    if told then
      learn_limit(state, told)
    end
    charge(quota, state, units)
  elseif quota.kind == 'fixed' and ends then
    learn_window(quota, state, told, ends, units)
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
    local told, ends = quota.told, reset_by_our_clock(credential, quota)
    if ends and ends > now and told.remaining and told.remaining <= 0 then
      block(states[index], math.min(ends, now + LONGEST_BLOCK_SECONDS), 'spent')
      found = true
    end
  end
  return found
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
