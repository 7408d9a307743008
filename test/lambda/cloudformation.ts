/** CloudFormation as a custom resource sees it: events as it sends them, and the address that takes the answers. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { handler } from '../../lambda/manifest.js';

export interface Answer {
  readonly Status: 'SUCCESS' | 'FAILED';
  readonly Reason?: string;
  readonly PhysicalResourceId: string;
  readonly StackId: string;
  readonly RequestId: string;
  readonly LogicalResourceId: string;
  readonly Data?: Readonly<Record<string, unknown>>;
}

export interface Received {
  readonly method: string | undefined;
  readonly contentType: string | undefined;
  readonly bytes: number;
  readonly answer: Answer;
}

export interface CloudFormation {
  /** Sends an event to the handler and returns what it answered. */
  send(request: Request): Promise<Received>;
  /** The status that the address gives from now on. @default 200 */
  status: number;
  stop(): void;
}

export interface Request {
  readonly type: 'Create' | 'Update' | 'Delete';
  readonly properties: Readonly<Record<string, string>>;
  readonly old?: Readonly<Record<string, string>>;
  readonly physicalId?: string;
  /** What is left of the function's time. @default 15 minutes */
  readonly remainingMs?: number;
}

const STACK_ID = 'arn:aws:cloudformation:us-east-1:111122223333:stack/limits/8f6a0b50-c9a1-11f0-9b1c-0affd5b1d7a5';
const FUNCTION_ARN = 'arn:aws:lambda:us-east-1:111122223333:function:limits-Applier';

export async function startCloudFormation(): Promise<CloudFormation> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const answer = JSON.parse(body.toString()) as Answer;
      received.push({ method: request.method, contentType: request.headers['content-type'], bytes: body.length, answer });
      response.writeHead(cloudFormation.status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const responseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/response?X-Amz-Signature=0`;
  const cloudFormation: CloudFormation = {
    status: 200,
    async send(request) {
      const { remainingMs = 900_000 } = request;
      await handler(eventOf(request, responseUrl), {
        getRemainingTimeInMillis: () => remainingMs,
        logStreamName: '2027/01/15/[$LATEST]a1b2c3',
      });
      const last = received.at(-1);
      if (last === undefined) throw new Error('The handler gave no answer');
      return last;
    },
    stop: () => server.close(),
  };
  return cloudFormation;
}

function eventOf({ type, properties, old, physicalId }: Request, ResponseURL: string): CloudFormationCustomResourceEvent {
  return {
    RequestType: type,
    ServiceToken: FUNCTION_ARN,
    ResponseURL,
    StackId: STACK_ID,
    RequestId: '3c2f4a0e-5f9d-4c57-a5d0-6a2b8f0f5d11',
    LogicalResourceId: 'LimitsResource7D2A',
    ResourceType: 'Custom::HeadgateManifest',
    ResourceProperties: { ServiceToken: FUNCTION_ARN, ServiceTimeout: '1200', ...properties },
    ...(physicalId !== undefined && { PhysicalResourceId: physicalId }),
    ...(old !== undefined && { OldResourceProperties: old }),
  } as unknown as CloudFormationCustomResourceEvent;
}
