import { storedLimitsOf } from '../../lib/config/config-records.js';
import { storedRulesOf } from '../../lib/config/scope-rules.js';
import { HeadgateError, InvalidArgument } from '../../lib/errors.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { configPk, SYSTEM_SK } from '../../lib/store/schema.js';
import type { Item } from '../../lib/store/store.js';
import { type Check, failed, ok, reasonOf, skipped, warning } from './check.js';

/** Whether what is stored for the system, the resources and the tiers can be read, and limits everybody. */
export const checkConfiguration: Check = async ({ client, tableName, namespace }) => {
  let items: readonly Item[];
  try {
    items = await new DynamoStore({ client, tableName }).queryItems(configPk(namespace), '');
  } catch (error) {
    return [skipped('limits', error instanceof InvalidArgument ? 'there is no table to read them from' : reasonOf(error))];
  }
  const broken = items.flatMap((item) => faultOf(item) ?? []);
  if (broken.length > 0) {
    const remedy = 'Store those scopes anew: headgate limits set; requests that they concern fail until then';
    return [failed('limits', broken.join('; '), remedy)];
  }
  const system = items.find(({ sk }) => sk === SYSTEM_SK);
  if (storedLimitsOf(system) !== undefined)
    return [ok('limits', `${items.length} ${items.length === 1 ? 'scope' : 'scopes'}, the system among them`)];
  const found = `none for the system in namespace ${namespace}: whom no other limit concerns is refused (NoLimitsConfigured)`;
  return [warning('limits', found, 'headgate limits set --system rpm=60/minute')];
};

function faultOf(item: Item): string | undefined {
  try {
    storedLimitsOf(item);
    storedRulesOf(item);
    return undefined;
  } catch (error) {
    if (error instanceof HeadgateError) return error.message;
    throw error;
  }
}
