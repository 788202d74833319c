// Decides requests with iam-simulate: JSON on standard input, one decision per request on standard output.
import { text } from 'node:stream/consumers'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const { documents, requests } = JSON.parse(await text(process.stdin))
const decisions = []
for (const { principal, action, resource, owner, context, identity, policy } of requests) {
  const simulation = {
    request: { principal, action, resource: { resource, accountId: owner }, contextVariables: context },
    identityPolicies: identity.map((name) => ({ name, policy: documents[name] })),
    resourcePolicy: documents[policy],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
  }
  const { resultType, overallResult, errors } = await runSimulation(simulation, {})
  // It does not support the ARN of a method with an empty path.
  const unknown = errors?.message === 'no.resource.types'
  if (resultType !== 'single' && !unknown) throw new Error(JSON.stringify({ simulation, resultType, errors }))
  decisions.push(unknown ? null : overallResult === 'Allowed')
}
process.stdout.write(JSON.stringify(decisions))
