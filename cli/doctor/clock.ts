import { DescribeTableCommand } from '@aws-sdk/client-dynamodb';
import { correctedByMs, SystemClock } from '../../lib/clock.js';
import { answerTimes, CLOSEST_TO_THE_ANSWER } from '../../lib/store/dynamo-clock.js';
import { type Check, ok, reasonOf, skipped, warning } from './check.js';

/** This machine's clock beside the time in DynamoDB's answers, which is in whole seconds. */
export const checkClock: Check = async ({ client, tableName }) => {
  const clock = new SystemClock();
  let answers = 0;
  const listening = {
    machineMs: () => clock.machineMs(),
    observe(...times: Parameters<SystemClock['observe']>) {
      answers += 1;
      clock.observe(...times);
    },
  };
  const command = new DescribeTableCommand({ TableName: tableName });
  command.middlewareStack.add(answerTimes(listening), CLOSEST_TO_THE_ANSWER);
  const refusal = await client.send(command).then(
    () => undefined,
    (error: unknown) => reasonOf(error),
  );
  // A refusal is an answer with a time as well.
  if (answers === 0) return [skipped('clock', refusal ?? 'the answer carried no time')];
  const offMs = -correctedByMs(clock);
  if (offMs === 0) return [ok('clock', 'agrees with DynamoDB’s to a second')];
  const told = `at least ${Math.abs(offMs)} ms ${offMs > 0 ? 'ahead of' : 'behind'} DynamoDB’s`;
  return [
    warning('clock', told, 'Let the machine set its clock (chrony, systemd-timesyncd); limiters correct themselves meanwhile'),
  ];
};
