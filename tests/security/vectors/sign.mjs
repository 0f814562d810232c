// Made the file beside it: npm install @octokit/webhooks-methods && node sign.mjs VERSION > octokit.json
import { sign } from "@octokit/webhooks-methods";

const issue = {
  action: "opened",
  issue: { id: 1, number: 7, title: "Héllo \u2028 ✓ \u{1F600}", updated_at: "2026-01-01T00:00:00Z" },
  repository: { id: 2, full_name: "acme/web" },
};
const bodies = [JSON.stringify(issue), JSON.stringify(issue, null, 2), JSON.stringify({ zen: "Keep it simple.", hook_id: 1 })];
const secrets = ["mutation-secret-0123456789abcdefgh", "another-secret-0123456789abcdefghi", "sécret ✓ 0123456789abcdefghijklm"];

const vectors = [];
for (const secret of secrets)
  for (const body of bodies) vectors.push({ secret, body, signature: await sign(secret, body) });
process.stdout.write(JSON.stringify({ library: "@octokit/webhooks-methods", version: process.argv[2], vectors }, null, 2) + "\n");
