"""The queries of the lists, with no more than what is told of an item: each costs its complexity whether much is found
or not (https://linear.app/developers/rate-limiting). Names are those of the published schema.
"""

from __future__ import annotations

_ARGUMENTS = "first: $first, after: $after, orderBy: updatedAt, includeArchived: true, filter: $filter"
_PAGE = "pageInfo { hasNextPage endCursor }"

_CHANGE = """
    id createdAt updatedAt actorId
    fromStateId toStateId toState { id name type } fromAssigneeId toAssigneeId fromPriority toPriority
    fromCycleId toCycleId fromTeamId toTeamId fromProjectId toProjectId fromParentId toParentId
    fromTitle toTitle fromEstimate toEstimate fromDueDate toDueDate updatedDescription
    addedLabelIds removedLabelIds archived trashed
"""
ISSUES = f"""
query Issues($first: Int!, $after: String, $filter: IssueFilter!, $changes: Int!) {{
  issues({_ARGUMENTS}) {{
    nodes {{
      id identifier number title description url priority priorityLabel labelIds
      createdAt updatedAt completedAt canceledAt archivedAt trashed
      state {{ id name type }} team {{ id key }} creator {{ id }} assignee {{ id }} project {{ id }}
      cycle {{ id number name }} parent {{ id identifier }} projectMilestone {{ name }}
      labels(first: 10) {{ nodes {{ id name }} }}
      history(first: $changes) {{ nodes {{ {_CHANGE} }} }}
    }}
    {_PAGE}
  }}
}}
"""
COMMENTS = f"""
query Comments($first: Int!, $after: String, $filter: CommentFilter!) {{
  comments({_ARGUMENTS}) {{
    nodes {{
      id body url createdAt updatedAt editedAt parentId issueId documentContentId projectId projectUpdateId
      issue {{ id identifier title team {{ id key }} }} projectUpdate {{ project {{ id }} }}
      user {{ id }} botActor {{ id name type }}
    }}
    {_PAGE}
  }}
}}
"""
PROJECTS = f"""
query Projects($first: Int!, $after: String, $filter: ProjectFilter!) {{
  projects({_ARGUMENTS}) {{
    nodes {{
      id name description url slugId targetDate createdAt updatedAt status {{ id name }} lead {{ id }} creator {{ id }}
    }}
    {_PAGE}
  }}
}}
"""
PROJECT_UPDATES = f"""
query ProjectUpdates($first: Int!, $after: String, $filter: ProjectUpdateFilter!) {{
  projectUpdates({_ARGUMENTS}) {{
    nodes {{ id body health url createdAt updatedAt editedAt user {{ id }} project {{ id name }} }}
    {_PAGE}
  }}
}}
"""
CYCLES = f"""
query Cycles($first: Int!, $after: String, $filter: CycleFilter!) {{
  cycles({_ARGUMENTS}) {{
    nodes {{ id number name description startsAt endsAt completedAt createdAt updatedAt team {{ id }} }}
    {_PAGE}
  }}
}}
"""
