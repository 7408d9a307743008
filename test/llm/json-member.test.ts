import fc from 'fast-check';
import { expect, it } from 'vitest';
import { withJsonMember } from '../../lib/llm/json-member.js';

it.each([
  { when: 'the object is empty', json: '{}', text: '{"a":7}' },
  { when: 'the object is empty but for spaces', json: ' { \n} ', text: ' {"a":7 \n} ' },
  { when: 'the name is new', json: '{ "b": 1 }', text: '{"a":7, "b": 1 }' },
  { when: 'the name is there', json: '{ "a" : 1 , "b":2}', text: '{ "a" : 7 , "b":2}' },
  { when: 'the name is last', json: '{"b":2,"a":true}', text: '{"b":2,"a":7}' },
  { when: 'the value is an object', json: '{"a":{"a":[1,"}"]},"b":2}', text: '{"a":7,"b":2}' },
  { when: 'the value is a string with quotes and brackets', json: '{"a":"\\"},{\\\\","b":2}', text: '{"a":7,"b":2}' },
  { when: 'the name stands twice', json: '{"a":1,"a":2}', text: '{"a":7,"a":7}' },
  { when: 'the name is escaped', json: '{"\\u0061":1}', text: '{"\\u0061":7}' },
  { when: 'the name stands deeper only', json: '{"b":{"a":1},"c":["a"]}', text: '{"a":7,"b":{"a":1},"c":["a"]}' },
])('sets one member and changes no other character when $when', ({ json, text }) => {
  expect(withJsonMember(json, 'a', () => '7')).toBe(text);
});

it.each([
  { json: '{"a": {"x": 1} ,"b":2}', current: '{"x": 1}' },
  { json: '{"a":-1.5e3}', current: '-1.5e3' },
  { json: '{"b":2}', current: undefined },
])('tells $current as the current value in $json', ({ json, current }) => {
  const told: unknown[] = [];
  withJsonMember(json, 'a', (text) => {
    told.push(text);
    return '0';
  });
  expect(told).toEqual([current]);
});

it('means the same as setting the member of the parsed object, for any object and any spacing', () => {
  const name = fc.constantFrom('a', 'b', 'stream_options', '"', '\\', 'é', '}');
  const object = fc.dictionary(fc.oneof(name, fc.string()), fc.jsonValue(), { noNullPrototype: true });
  fc.assert(
    fc.property(object, name, fc.jsonValue(), fc.constantFrom(0, 1, '\t', '\r\n '), (value, member, set, space) => {
      const parsed = JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
      const text = withJsonMember(JSON.stringify(value, null, space), member, () => JSON.stringify(set));
      expect(JSON.parse(text)).toEqual({ ...parsed, [member]: JSON.parse(JSON.stringify(set)) as unknown });
    }),
    { numRuns: 2_000 },
  );
});
