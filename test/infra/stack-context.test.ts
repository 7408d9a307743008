import { readFileSync } from 'node:fs';
import { App, RemovalPolicy } from 'aws-cdk-lib';
import { describe, expect, it } from 'vitest';
import { stackPropsFromContext } from '../../infra/stack-context.js';

const propsOf = (context: Record<string, unknown>) => stackPropsFromContext(new App({ context }).node);

describe('the stack’s props from the context', () => {
  it.each([
    { when: 'nothing is given', context: {}, props: {} },
    { when: 'there are to be no alarms', context: { monitoring: 'off' }, props: { monitoring: false } },
    { when: 'the table may go', context: { removalPolicy: 'destroy' }, props: { removalPolicy: RemovalPolicy.DESTROY } },
    {
      when: 'all is given',
      context: { namespace: 'acme', tableName: 'limits', removalPolicy: 'retain' },
      props: { namespace: 'acme', tableName: 'limits', removalPolicy: RemovalPolicy.RETAIN },
    },
  ])('are what it says when $when', ({ context, props }) => {
    expect(propsOf(context)).toEqual({ namespace: undefined, tableName: undefined, removalPolicy: undefined, ...props });
  });

  it.each([
    {
      when: 'a policy is unknown',
      context: { removalPolicy: 'keep' },
      message: 'removalPolicy to be retain or destroy, got keep',
    },
    { when: 'monitoring is unknown', context: { monitoring: 'some' }, message: 'monitoring to be on or off, got some' },
    { when: 'a name is empty', context: { tableName: '' }, message: 'tableName to be a string that is not empty, got ""' },
    { when: 'a name is a number', context: { namespace: 7 }, message: 'namespace to be a string that is not empty, got 7' },
  ])('are refused when $when', ({ context, message }) => {
    expect(() => propsOf(context)).toThrow(message);
  });

  it('are the defaults in cdk.json, so that a table deployed from it is kept', () => {
    const { context } = JSON.parse(readFileSync('cdk.json', 'utf8'));
    expect(propsOf(context)).toEqual({ namespace: 'default', tableName: 'headgate', removalPolicy: RemovalPolicy.RETAIN });
  });
});
