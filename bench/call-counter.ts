import {
  type BatchGetItemCommandInput,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  type TransactWriteItemsCommandInput,
} from '@aws-sdk/client-dynamodb';

/** What was sent to the database, and what AWS charges for it. */
export interface Sent {
  readonly calls: number;
  /** How often calls had to wait for the answers of others, and one more. Counted in step only, else 0. */
  readonly roundTrips: number;
  readonly writeUnits: number;
  readonly readUnits: number;
}

interface Consumed {
  readonly CapacityUnits?: number;
}

const READS = /^(Get|BatchGet|Query|Scan|TransactGet)/;

/** What an answer says it consumed, over all tables. */
function consumedUnits(output: object = {}): number {
  const { ConsumedCapacity: consumed = [] } = output as { ConsumedCapacity?: Consumed | readonly Consumed[] };
  return [consumed].flat().reduce((sum, { CapacityUnits: units = 0 }) => sum + units, 0);
}

/** Half a unit for every key of a batch: AWS charges for items that are not there as well, DynamoDB Local does not. */
function leastReadUnits(input: object): number {
  const { RequestItems: tables = {} } = input as Partial<BatchGetItemCommandInput>;
  return Object.values(tables).reduce((sum, { Keys: keys = [] }) => sum + keys.length / 2, 0);
}

/** Two units for every item of a transaction: AWS writes each twice, DynamoDB Local reports two for all of them. */
function leastWriteUnits(input: object): number {
  const { TransactItems: items = [] } = input as Partial<TransactWriteItemsCommandInput>;
  return 2 * items.length;
}

/** Calls that go out before any of their answers is known. */
interface Wave {
  underWay: number;
  readonly released: Promise<void>;
  readonly release: () => void;
}

function newWave(): Wave {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { underWay: 0, released, release };
}

/**
 * Counts what a client sends from now on, every attempt. Units are those the database reports; a failed condition reports none here, and is
 * counted as the one write unit that AWS charges for an item of at most 1 KB. In step, answers are held back until every call under way has one:
 * whatever is sent later may then be due to any of them, and is one round trip later.
 */
export class CallCounter {
  #calls = 0;
  #roundTrips = 0;
  #wave: Wave | undefined;
  #writeUnits = 0;
  #readUnits = 0;

  constructor(client: DynamoDBClient, { inStep = false } = {}) {
    client.middlewareStack.add(
      (next) => (args) => {
        Object.assign(args.input, { ReturnConsumedCapacity: 'TOTAL' });
        return next(args);
      },
      { step: 'initialize', name: 'reportCapacity' },
    );
    client.middlewareStack.add(
      (next, { commandName = '' }) =>
        async (args) => {
          this.#calls += 1;
          const wave = inStep ? this.#joined() : undefined;
          try {
            const result = await next(args);
            const units = consumedUnits(result.output);
            if (READS.test(commandName)) this.#readUnits += Math.max(units, leastReadUnits(args.input));
            else this.#writeUnits += Math.max(units, leastWriteUnits(args.input));
            return result;
          } catch (error) {
            if (error instanceof ConditionalCheckFailedException) this.#writeUnits += 1;
            throw error;
          } finally {
            if (wave !== undefined) await this.#answered(wave);
          }
        },
      { step: 'deserialize', priority: 'high', name: 'countCalls' },
    );
  }

  #joined(): Wave {
    if (this.#wave === undefined) {
      this.#wave = newWave();
      this.#roundTrips += 1;
    }
    this.#wave.underWay += 1;
    return this.#wave;
  }

  #answered(wave: Wave): Promise<void> {
    wave.underWay -= 1;
    if (wave.underWay === 0) {
      this.#wave = undefined;
      wave.release();
    }
    return wave.released;
  }

  /** What was sent since the last call of this method. */
  take(): Sent {
    const sent = {
      calls: this.#calls,
      roundTrips: this.#roundTrips,
      writeUnits: this.#writeUnits,
      readUnits: this.#readUnits,
    };
    this.#calls = 0;
    this.#roundTrips = 0;
    this.#writeUnits = 0;
    this.#readUnits = 0;
    return sent;
  }
}
