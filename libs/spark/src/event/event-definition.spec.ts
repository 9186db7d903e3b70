import { describe, expect, expectTypeOf, it } from 'vitest';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { checkEvent } from './event-check.js';
import { defineEvent, type EventDefinition, type EventOf, isDefinition } from './event-definition.js';
import { sparkEvent, type SparkEvent } from './spark-event.js';
import type { StandardSchema } from './standard-schema.js';

class Challenge {
  id = 7;
  title = 'Run';
  endDate = new Date('2026-05-31T00:00:00Z');
}

const challenge = new Challenge();
const challengeEvent = defineEvent<{ challenge: Challenge }>();
const challengeEnded = challengeEvent('challenge_ended');
const nightBegan = defineEvent('night_began');

const numberSchema: StandardSchema<{ amount: string }, { amount: number }> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as { amount: number } }) },
};

describe('defineEvent', () => {
  it('makes a function that describes the same event as sparkEvent', () => {
    const options = { at: new Date(5), occurrence: 'b', metadata: { tenant: 'acme' }, until: new Date(9) };
    expect(challengeEnded(7, { challenge }, options)).toEqual(sparkEvent('challenge_ended', 7, { challenge }, options));
    expect(nightBegan([1, 'a'])).toEqual(sparkEvent('night_began', [1, 'a']));
    expect([challengeEnded.group, nightBegan.group]).toEqual(['challenge_ended', 'night_began']);
    expect(() => void ((nightBegan as { group: string }).group = 'other')).toThrow(TypeError);
  });

  it('knows its definitions from other functions', () => {
    expect([challengeEnded, nightBegan].map(isDefinition)).toEqual([true, true]);
    expect([Object.assign(() => undefined, { group: 'x' }), 'x', undefined].map(isDefinition)).toEqual(
      Array(3).fill(false),
    );
  });

  it('takes until of the context, unless the options say', () => {
    const ending = challengeEvent('ending', { until: ({ challenge: { endDate } }) => endDate });
    const { endDate } = challenge;
    expect(ending(7, { challenge }).until).toEqual(endDate);
    expect(ending(7, { challenge }, { at: new Date(1) })).toMatchObject({ at: new Date(1), until: endDate });
    expect(ending(7, { challenge }, { until: new Date(3) }).until).toEqual(new Date(3));
    expect('until' in ending(7, { challenge }, { until: null })).toBe(false);
    const never = challengeEvent('never', { until: () => null });
    expect('until' in never(7, { challenge })).toBe(false);
  });

  it('never throws while it makes an event: what until throws is a flaw of the event', () => {
    const ending = challengeEvent('ending', { until: (context) => context.challenge.endDate });
    const event = ending(7, { challenge: undefined } as never);
    expect(checkEvent(event)).toMatch(/its input cannot be read \(.*undefined.*endDate/);
    const wrong = challengeEvent('wrong', { until: () => 'tomorrow' as never });
    expect(checkEvent(wrong(7, { challenge }))).toMatch('its until is "tomorrow", not a Date');
    const hostile = new Proxy({}, { has: () => raise(), ownKeys: () => raise() });
    expect(checkEvent(ending(7, { challenge }, hostile))).toMatch('its input cannot be read (no)');
  });

  it('stores its version in the metadata', () => {
    const second = defineEvent('second', { version: 2 });
    expect(second(1).metadata).toEqual({ schemaVersion: 2 });
    const metadata = { tenant: 'acme', schemaVersion: 1 };
    expect(second(1, undefined, { metadata }).metadata).toEqual({ tenant: 'acme', schemaVersion: 2 });
    const bad = second(1, undefined, { metadata: 'text' as never });
    expect(checkEvent(bad)).toMatch('its metadata is text, not a plain object');
  });

  it('takes a schema that is a function', () => {
    const schema = Object.assign(() => undefined, numberSchema);
    expect(defineEvent('paid', { schema }).schema).toBe(schema);
  });

  it.each([
    ['a group that is empty', () => defineEvent(''), /The group of defineEvent is ''/],
    ['a group that is too long', () => defineEvent('g'.repeat(101)), /text of 1 to 100 characters/],
    ['a group that is not text', () => defineEvent(undefined as never), /The group of defineEvent is undefined/],
    ['an unknown default', () => defineEvent('x', { at: 1 } as never), /at of defineEvent\('x'\) is unknown/],
    ['defaults that are no object', () => defineEvent('x', 5 as never), /defineEvent\('x'\) is 5/],
    [
      'a schema of another kind',
      () => defineEvent('x', { schema: {} } as never),
      /schema of .* implements Standard Schema/,
    ],
    ['an until that is a date', () => defineEvent('x', { until: new Date() } as never), /until of .* a function/],
    ['a version that is text', () => defineEvent('x', { version: '2' } as never), /version of .* whole number/],
    ['a version of 0', () => defineEvent('x', { version: 0 }), /version of .* whole number above 0/],
  ])('refuses %s', (_, define, message) => {
    expect(define).toThrow(InvalidOptionsError);
    expect(define).toThrow(message);
  });
});

describe('the types of defineEvent', () => {
  it('know the group and the context', () => {
    expectTypeOf<EventOf<typeof challengeEnded>>().toEqualTypeOf<
      SparkEvent<{ challenge: Challenge }, 'challenge_ended'>
    >();
    expectTypeOf(challengeEnded(7, { challenge })).toEqualTypeOf<
      SparkEvent<{ challenge: Challenge }, 'challenge_ended'>
    >();
    expectTypeOf<EventOf<typeof nightBegan>>().toEqualTypeOf<SparkEvent<undefined, 'night_began'>>();
    expectTypeOf(challengeEnded.group).toEqualTypeOf<'challenge_ended'>();
    expectTypeOf(challengeEnded).toExtend<EventDefinition>();
  });

  it('know the context if it is given with the group, and the group if that is given, too', () => {
    const ended = defineEvent<{ challenge: Challenge }>('challenge_ended');
    expectTypeOf<EventOf<typeof ended>>().toEqualTypeOf<SparkEvent<{ challenge: Challenge }>>();
    const both = defineEvent<string, 'said'>('said');
    expectTypeOf<EventOf<typeof both>>().toEqualTypeOf<SparkEvent<string, 'said'>>();
    expect([ended.group, both.group]).toEqual(['challenge_ended', 'said']);
  });

  it('take the input of a schema, and give its output', () => {
    const paid = defineEvent('paid', { schema: numberSchema, until: ({ amount }) => new Date(amount.length) });
    expectTypeOf<EventOf<typeof paid>>().toEqualTypeOf<SparkEvent<{ amount: number }, 'paid'>>();
    expectTypeOf(paid(1, { amount: '5' })).toEqualTypeOf<SparkEvent<{ amount: string }, 'paid'>>();
  });

  it('tell the events of several definitions apart by their group', () => {
    const toldApart = (event: EventOf<typeof challengeEnded | typeof nightBegan>) => {
      if (event.group === 'challenge_ended') expectTypeOf(event.context).toEqualTypeOf<{ challenge: Challenge }>();
      else expectTypeOf(event.context).toEqualTypeOf<undefined>();
    };
    expect(toldApart).toBeInstanceOf(Function);
  });

  it('refuse what does not fit', () => {
    const wrong = () => {
      // @ts-expect-error the context is missing
      challengeEnded(7);
      // @ts-expect-error a part of the context is missing
      challengeEnded(7, {});
      // @ts-expect-error it is another context
      challengeEnded(7, { challenge: 7 });
      // @ts-expect-error there is no context
      nightBegan(7, { challenge });
      // @ts-expect-error it is another group
      defineEvent<string, 'said'>('spoken');
      // @ts-expect-error the context has no such property
      challengeEvent('x', { until: ({ meeting }) => meeting });
      // @ts-expect-error this is not an option
      challengeEnded(7, { challenge }, { ad: new Date() });
      // @ts-expect-error it is the output, not the input
      defineEvent('paid', { schema: numberSchema })(1, { amount: 5 });
      // @ts-expect-error this is not a definition
      expectTypeOf<EventOf<() => void>>().toBeUnknown();
    };
    expect(wrong).toBeInstanceOf(Function);
  });
});

function raise(): never {
  throw new Error('no');
}
