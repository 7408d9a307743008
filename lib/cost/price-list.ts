/** What AWS charges for what a deployment uses, in dollars, without free tiers, discounts and taxes. */
export interface PriceList {
  /** Where AWS publishes them. */
  readonly source: readonly string[];
  /** ISO date until which they were seen to be so. */
  readonly date: string;
  /** On demand, standard table class. */
  readonly dynamoDbPerMillionWriteUnits: number;
  readonly dynamoDbPerMillionReadUnits: number;
  readonly lambdaPerMillionRequests: number;
  /** arm64, the first 7.5 thousand million gigabyte-seconds of a month. */
  readonly lambdaPerGbSecond: number;
  /** REST API, the first 333 million calls of a month. */
  readonly apiGatewayPerMillionCalls: number;
  /** Standard class. */
  readonly logsPerGb: number;
}

/** North Virginia, Ohio and Oregon have the same prices. */
const UNITED_STATES: PriceList = {
  source: [
    'https://aws.amazon.com/dynamodb/pricing/on-demand/',
    'https://aws.amazon.com/lambda/pricing/',
    'https://aws.amazon.com/api-gateway/pricing/',
    'https://aws.amazon.com/cloudwatch/pricing/',
  ],
  date: '2026-06-13',
  dynamoDbPerMillionWriteUnits: 0.625,
  dynamoDbPerMillionReadUnits: 0.125,
  lambdaPerMillionRequests: 0.2,
  lambdaPerGbSecond: 0.0000133334,
  apiGatewayPerMillionCalls: 3.5,
  logsPerGb: 0.5,
};

/** Regions whose prices are known; for others they are given. */
export const PRICE_LISTS: Readonly<Record<string, PriceList>> = {
  'us-east-1': UNITED_STATES,
  'us-east-2': UNITED_STATES,
  'us-west-2': UNITED_STATES,
};
