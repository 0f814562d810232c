-- Looking: how things stand, for people. Changes nothing.

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
