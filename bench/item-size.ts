import type { AttributeValue } from '@aws-sdk/client-dynamodb';

/**
 * The size of an item in bytes as DynamoDB bills it: names and strings in UTF-8; a number one byte for every two significant digits and one
 * more, and one for a minus sign; a list or map three bytes, and one for each member.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 */
export function itemSizeBytes(item: Record<string, AttributeValue>): number {
  return Object.entries(item).reduce((sum, [name, value]) => sum + utf8Bytes(name) + valueSizeBytes(value), 0);
}

function valueSizeBytes(value: AttributeValue): number {
  if (value.S !== undefined) return utf8Bytes(value.S);
  if (value.N !== undefined) return numberSizeBytes(value.N);
  if (value.BOOL !== undefined || value.NULL !== undefined) return 1;
  if (value.L !== undefined) return value.L.reduce((sum, member) => sum + 1 + valueSizeBytes(member), 3);
  if (value.M !== undefined) return 3 + Object.keys(value.M).length + itemSizeBytes(value.M);
  throw new TypeError(`no size known for ${Object.keys(value).join()}`);
}

function numberSizeBytes(digits: string): number {
  const significant = digits.replace('-', '').replace('.', '').replace(/^0+/, '').replace(/0+$/, '').length;
  return Math.ceil(significant / 2) + 1 + (digits.startsWith('-') ? 1 : 0);
}

const utf8Bytes = (text: string): number => Buffer.byteLength(text, 'utf8');
