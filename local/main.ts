/** `npm start`: the whole of Headgate on this machine, until Ctrl-C. */
import { clientEnvironment } from './client-environment.js';
import { DEMO } from './demo.js';
import { StartFailure } from './dynamodb.js';
import { type System, type SystemOptions, startSystem } from './system.js';

// The README says it: the AWS SDK asks for Node 22 from January 2027. Not at every start.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

const DEFAULT_PORT = 8787;

let system: System | undefined;
let stopping = false;

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  // Still starting: what is up ends with the process.
  if (system === undefined) process.exit(0);
  console.log('\nStopping …');
  await system.stop();
  process.exit(0);
}

process.on('SIGINT', stop);
process.on('SIGTERM', stop);

try {
  const options = optionsOf(process.env);
  console.log('Starting Headgate …');
  system = await startSystem(options);
  console.log(greeting(system, options));
} catch (error) {
  console.error(error instanceof StartFailure ? error.message : error);
  process.exit(1);
}

function optionsOf(env: NodeJS.ProcessEnv): SystemOptions {
  const text = env.PORT || String(DEFAULT_PORT);
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new StartFailure(`Expected PORT to be a number from 0 to 65535, got ${JSON.stringify(text)}`);
  const dynamoEndpoint = env.DYNAMODB_ENDPOINT || undefined;
  if (dynamoEndpoint !== undefined && !URL.canParse(dynamoEndpoint)) {
    throw new StartFailure(
      `Expected DYNAMODB_ENDPOINT to be a URL such as http://127.0.0.1:8000, got ${JSON.stringify(dynamoEndpoint)}`,
    );
  }
  return { port, dynamoEndpoint, tableName: env.HEADGATE_TABLE || 'headgate', namespace: env.HEADGATE_NAMESPACE || 'default' };
}

function greeting(system: System, { tableName, namespace }: SystemOptions): string {
  const { url, dynamoEndpoint } = system;
  const { key, entity, model, provider, others } = DEMO;
  const environment = Object.entries(clientEnvironment(system)).map(([name, value]) => `${name}=${value}`);
  return `
Headgate on this machine
  API        ${url}
  DynamoDB   ${dynamoEndpoint}, table ${tableName}, namespace ${namespace}
  Demo       key ${key}, entity ${entity}: 20 requests and 10,000 tokens a minute on ${model},
             ${Object.values(others).join(', ')}

Try, in another terminal:

  # An OpenAI-compatible call through the gateway (base URL of any OpenAI client: ${url}/llm/${provider}/v1;
  # of others: ${Object.keys(others)
    .map((other) => `${url}/llm/${other}`)
    .join(', ')})
  curl -i ${url}/llm/${provider}/v1/chat/completions -H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json' -d '{"model":"${model}","messages":[{"role":"user","content":"Hello"}]}'

  # Ask for tokens yourself
  curl -i ${url}/v1/acquire -H 'Content-Type: application/json' -d '{"entity":"${entity}","resource":"${model}","consume":{"rpm":1,"tpm":100}}'

  # What was used today
  curl ${url}/v1/usage/${entity}

  # For your own code, and the programs in examples/: this database, and the simulated provider
  export ${environment.join(' ')}

Ctrl-C stops everything. Headgate is ready.`;
}
