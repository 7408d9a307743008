/**
 * What the HTTP API takes and gives, as JSON Schema: the handlers take the fields from here, API Gateway refuses what is none of it before a function runs,
 * and the OpenAPI document is made of it. Only what draft 4 knows as well, for that is all that API Gateway reads. Whether values fit each other
 * (a cost and its limit, a date and now) the SDK judges.
 */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly maxItems?: number;
  readonly enum?: readonly (string | number | boolean | null)[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

/** An object with these fields and no others; those whose names end in `?` may be left out. */
function object(
  fields: Readonly<Record<string, Schema>>,
  description?: string,
): Schema & { readonly properties: Readonly<Record<string, Schema>> } {
  const named = Object.entries(fields).map(([name, schema]) => ({
    name: name.replace(/\?$/, ''),
    schema,
    given: !name.endsWith('?'),
  }));
  const required = named.filter(({ given }) => given).map(({ name }) => name);
  return {
    type: 'object',
    ...(description !== undefined && { description }),
    properties: Object.fromEntries(named.map(({ name, schema }) => [name, schema])),
    // Draft 4 refuses an empty list.
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}

/** The names of an object's fields. */
export const fieldsOf = ({ properties = {} }: Schema): readonly string[] => Object.keys(properties);

const MOST = Number.MAX_SAFE_INTEGER;
const list = (items: Schema, maxItems?: number): Schema => ({
  type: 'array',
  items,
  ...(maxItems !== undefined && { maxItems }),
});
const text = (description: string): Schema => ({ type: 'string', description });
const whole = (description: string, minimum = -MOST, maximum = MOST): Schema => ({
  type: 'integer',
  minimum,
  maximum,
  description,
});
const orNull = (schema: Schema & { readonly type: string }): Schema => ({ ...schema, type: [schema.type, 'null'] });
const flag = (description: string): Schema => ({ type: 'boolean', description });

export const NAME: Schema & { readonly type: string } = {
  type: 'string',
  minLength: 1,
  maxLength: 256,
  pattern: '^[^#]*$',
  description: '1 to 256 bytes of printable UTF-8 without #',
};
const PRIORITY: Schema = { type: 'string', enum: ['low', 'normal', 'high', 'critical'] };
const TOKENS: Schema = { type: 'object', additionalProperties: whole('', 0), description: 'Whole tokens by limit name' };
const LEASE: Schema = text('A lease token, as an acquire gave it');
const METADATA = { type: 'object', description: 'Anything, kept as it is: at most 32,768 bytes of JSON' };

/** Any limit as the SDK writes it; which fields belong together, the SDK judges. */
const LIMIT: Schema = {
  type: 'object',
  properties: {
    kind: { type: 'string', enum: ['bucket', 'quota', 'session', 'concurrent'] },
    name: { type: 'string', pattern: '^[A-Za-z0-9_.-]{1,64}$', description: '1 to 64 characters of A-Z a-z 0-9 _ - .' },
    capacity: whole('Tokens at once, or in a window', 1),
  },
  required: ['name', 'capacity'],
};

const LIMIT_REPORT = object({
  entity: NAME,
  resource: NAME,
  limit: text('The name of the limit'),
  counts: text('What it counts'),
  capacity: whole('Tokens at once, or in a window'),
  available: whole('Tokens there; negative: debt'),
  requested: whole('What the request asked for'),
  retryAfterMs: whole('0 where this limit did not deny'),
  resetMs: whole('Milliseconds until it is full again'),
  windowMs: whole('Milliseconds that the whole capacity takes to refill'),
});

/** Bodies that routes take. */
export const BODIES = {
  acquire: object({
    entity: NAME,
    resource: NAME,
    consume: TOKENS,
    'also?': list(object({ resource: NAME, consume: TOKENS }), 15),
    'maxWaitMs?': { type: 'number', minimum: 0, maximum: 86_400_000, description: 'How long a place in the queue may be away' },
    'priority?': PRIORITY,
    'contextTokens?': whole('The tokens of the call, input and output together', 0),
  }),
  adjust: object({ lease: LEASE, actual: TOKENS }),
  release: object({ lease: LEASE }),
  limits: object({
    'limits?': list(LIMIT, 32),
    'options?': { type: 'object', description: 'As the third argument of setLimits' },
  }),
  entity: object({
    'parent?': orNull(NAME),
    'cascade?': flag('Whether its requests draw on its parent as well'),
    'tier?': orNull(NAME),
    'name?': orNull({ type: 'string' }),
    'metadata?': { ...METADATA, type: ['object', 'null'] },
  }),
  key: object({ 'expiresAt?': text('ISO 8601') }),
} as const;

const ENTITY = object({
  entity: NAME,
  'parent?': NAME,
  cascade: flag('Whether its requests draw on its parent as well'),
  ancestors: list(NAME),
  'tier?': NAME,
  'name?': text('For people'),
  'metadata?': METADATA,
  createdAt: text('ISO 8601'),
});
const KEY_FIELDS = {
  keyId: text(''),
  entity: NAME,
  state: { type: 'string', enum: ['active', 'revoked'] },
  prefix: text('The first characters of the secret'),
  createdAt: text('ISO 8601'),
  'expiresAt?': text('ISO 8601'),
  'replaces?': text('The id of the key that it replaces'),
  'replacedBy?': text('The id of the key that replaces it'),
} as const;

/** Bodies that routes give. */
export const ANSWERS = {
  acquired: object({
    lease: LEASE,
    startsInMs: whole('0: now; else the place in the queue', 0),
    limits: list(LIMIT_REPORT),
  }),
  adjusted: object({ leaseId: text(''), actual: TOKENS }),
  released: object({ leaseId: text(''), released: { type: 'boolean', enum: [true] } }),
  status: {
    type: 'object',
    properties: {
      entity: NAME,
      resource: NAME,
      limits: list({ type: 'object', description: 'level, capacity, reset, debt, queue' }),
    },
    required: ['entity', 'resource', 'limits'],
  },
  usage: object({
    rows: list(
      object({
        resource: NAME,
        by: { type: 'string', enum: ['hour', 'day', 'month'] },
        start: text('ISO 8601'),
        consumed: { type: 'object', additionalProperties: whole('') },
        requests: whole('', 0),
        denied: whole('', 0),
      }),
    ),
  }),
  limits: object({ scope: { type: 'object' }, limits: list(LIMIT), options: { type: 'object' } }),
  explanation: {
    type: 'object',
    properties: {
      entity: NAME,
      resource: NAME,
      outcome: { type: 'string', enum: ['limited', 'refused', 'unconfigured'] },
      levels: list({ type: 'object' }),
    },
    required: ['entity', 'resource', 'outcome', 'levels'],
  },
  entity: ENTITY,
  entities: object({ entities: list(NAME) }),
  children: object({ children: list(NAME) }),
  keys: object({ keys: list(object(KEY_FIELDS)) }),
  createdKey: object({ ...KEY_FIELDS, secret: text('Shown this once') }),
  audit: object({ records: list({ type: 'object', description: 'who, when, from what, to what' }) }),
  problem: {
    type: 'object',
    description: 'RFC 9457 problem details',
    properties: {
      type: text('A URI; about:blank for most'),
      title: text(''),
      status: whole('', 400, 599),
      code: text('Stable: the name of the SDK’s error'),
      detail: text('What was expected, and what came'),
      field: text('The field that is wrong'),
      retryAfterMs: whole('Of a 429', 0),
      violations: list(LIMIT_REPORT),
      passed: list(LIMIT_REPORT),
    },
    required: ['title', 'status', 'code', 'detail'],
  },
} as const satisfies Readonly<Record<string, Schema>>;
