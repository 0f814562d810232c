"""An excerpt of Linear's published schema: all that the simulated workspace knows."""

from __future__ import annotations

from functools import cache

from graphql import GraphQLSchema, build_schema

_ARGUMENTS = "after: String, first: Int, includeArchived: Boolean, orderBy: PaginationOrderBy"
_LISTS = (("issues", "Issue"), ("comments", "Comment"), ("projects", "Project"), ("cycles", "Cycle"))
_LISTED = (*_LISTS, ("projectUpdates", "ProjectUpdate"))
_CONNECTED = (
    *("Issue", "Comment", "Project", "Cycle", "ProjectUpdate", "IssueLabel", "IssueHistory"),
    *("User", "WorkflowState"),
)
_NODE = "id: ID! createdAt: DateTime! updatedAt: DateTime! archivedAt: DateTime"
_SIDES = "StateId: String AssigneeId: String CycleId: String TeamId: String ProjectId: String ParentId: String"
_VALUES = "Title: String Priority: Float Estimate: Float DueDate: TimelessDate"


def _both_sides(fields: str) -> str:
    words = fields.split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return " ".join(f"{side}{name} {kind}" for side in ("from", "to") for name, kind in pairs)


_SCHEMA = f"""
scalar DateTime
scalar DateTimeOrDuration
scalar TimelessDate
enum PaginationOrderBy {{ createdAt updatedAt }}
enum ProjectUpdateHealthType {{ atRisk offTrack onTrack }}
input DateComparator {{ eq: DateTimeOrDuration gt: DateTimeOrDuration gte: DateTimeOrDuration lt: DateTimeOrDuration }}
input StringComparator {{ eq: String eqIgnoreCase: String in: [String!] }}
input IDComparator {{ eq: ID in: [ID!] }}
input TeamFilter {{ key: StringComparator }}
input NullableTeamFilter {{ id: IDComparator key: StringComparator null: Boolean }}
input UserFilter {{ email: StringComparator displayName: StringComparator }}
input IssueLabelFilter {{
  name: StringComparator team: NullableTeamFilter and: [IssueLabelFilter!] or: [IssueLabelFilter!]
}}
input IssueCreateInput {{
  id: String teamId: String! title: String description: String priority: Int labelIds: [String!] assigneeId: String
  stateId: String parentId: String
}}
input IssueUpdateInput {{
  title: String description: String priority: Int addedLabelIds: [String!] removedLabelIds: [String!]
  assigneeId: String stateId: String parentId: String
}}
input CommentCreateInput {{ id: String issueId: String parentId: String body: String }}
type IssuePayload {{ issue: Issue lastSyncId: Float! success: Boolean! }}
type CommentPayload {{ comment: Comment! lastSyncId: Float! success: Boolean! }}
input TeamCollectionFilter {{ some: TeamFilter }}
input IssueFilter {{ updatedAt: DateComparator team: TeamFilter }}
input NullableIssueFilter {{ updatedAt: DateComparator team: TeamFilter }}
input CommentFilter {{ updatedAt: DateComparator issue: NullableIssueFilter }}
input ProjectFilter {{ updatedAt: DateComparator accessibleTeams: TeamCollectionFilter }}
input ProjectUpdateFilter {{ updatedAt: DateComparator project: ProjectFilter }}
input CycleFilter {{ updatedAt: DateComparator team: TeamFilter }}
type PageInfo {{ endCursor: String hasNextPage: Boolean! }}
type User {{ id: ID! name: String! displayName: String! email: String! }}
type ActorBot {{ id: ID name: String type: String! }}
type Team {{ id: ID! key: String! name: String! states({_ARGUMENTS}): WorkflowStateConnection! }}
type WorkflowState {{ id: ID! name: String! type: String! }}
type ProjectStatus {{ id: ID! name: String! }}
type ProjectMilestone {{ id: ID! name: String! }}
type IssueLabel {{ id: ID! name: String! team: Team }}
type Issue {{
  {_NODE} identifier: String! number: Float! title: String! description: String url: String! trashed: Boolean
  priority: Float! priorityLabel: String! labelIds: [String!]! completedAt: DateTime canceledAt: DateTime
  state: WorkflowState! team: Team! creator: User assignee: User project: Project cycle: Cycle parent: Issue
  projectMilestone: ProjectMilestone labels({_ARGUMENTS}): IssueLabelConnection!
  history({_ARGUMENTS}): IssueHistoryConnection!
}}
type IssueHistory {{
  {_NODE} actorId: String toState: WorkflowState {_both_sides(_SIDES)} {_both_sides(_VALUES)}
  updatedDescription: Boolean addedLabelIds: [String!] removedLabelIds: [String!] archived: Boolean trashed: Boolean
}}
type Comment {{
  {_NODE} body: String! url: String! editedAt: DateTime parentId: String issueId: String documentContentId: String
  projectId: String projectUpdateId: String issue: Issue projectUpdate: ProjectUpdate user: User botActor: ActorBot
  parent: Comment
}}
type Project {{
  {_NODE} name: String! description: String! url: String! slugId: String! targetDate: TimelessDate
  status: ProjectStatus! lead: User creator: User
}}
type ProjectUpdate {{
  {_NODE} body: String! health: ProjectUpdateHealthType! url: String! editedAt: DateTime user: User! project: Project!
}}
type Cycle {{
  {_NODE} number: Float! name: String description: String startsAt: DateTime! endsAt: DateTime! completedAt: DateTime
  team: Team!
}}
{" ".join(f"type {name}Connection {{ nodes: [{name}!]! pageInfo: PageInfo! }}" for name in _CONNECTED)}
type Query {{
  {" ".join(f"{name}({_ARGUMENTS}, filter: {kind}Filter): {kind}Connection!" for name, kind in _LISTED)}
  issue(id: String!): Issue!
  comment(id: String, hash: String): Comment!
  users({_ARGUMENTS}, filter: UserFilter, includeDisabled: Boolean): UserConnection!
  issueLabels({_ARGUMENTS}, filter: IssueLabelFilter): IssueLabelConnection!
}}
type Mutation {{
  issueCreate(input: IssueCreateInput!): IssuePayload!
  issueUpdate(id: String!, input: IssueUpdateInput!): IssuePayload!
  commentCreate(input: CommentCreateInput!): CommentPayload!
}}
"""


@cache
def schema() -> GraphQLSchema:
    return build_schema(_SCHEMA)
