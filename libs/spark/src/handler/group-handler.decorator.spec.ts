import { describe, expect, it } from 'vitest';
import { metadataOf } from '../common/decorator-metadata.js';
import { defineEvent, type EventOf } from '../event/event-definition.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { StandardSchema } from '../event/standard-schema.js';
import type { BatchScope, SparkBatchHandler } from './batch.js';
import { GROUP_HANDLER, GroupHandler, type HandlerScope, type SparkHandler } from './group-handler.decorator.js';

interface Run {
  readonly run: { readonly km: number };
}
interface Gift {
  readonly gift: { readonly amount: number };
}

const runEnded = defineEvent<Run>()('run_ended');
const giftGiven = defineEvent<Gift>()('gift_given');
const loose = defineEvent<Gift>('loose');
const schema: StandardSchema<{ at: string }, { at: Date }> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as { at: Date } }) },
};
const converted = defineEvent('converted', { schema });
const all = [runEnded, giftGiven];

describe('@GroupHandler with definitions', () => {
  it('accepts methods whose parameter fits', () => {
    class Right {
      @GroupHandler(runEnded) whole(event: EventOf<typeof runEnded>, { attempt }: HandlerScope) {
        return event.context.run.km + attempt;
      }
      @GroupHandler(runEnded) context(event: SparkEvent<Run>) {
        return event.context.run.km;
      }
      @GroupHandler(runEnded) part(event: SparkEvent<{ run: object }>) {
        return event.context.run;
      }
      @GroupHandler(runEnded) anything(event: SparkEvent) {
        return event.context;
      }
      @GroupHandler(runEnded) nothing() {}
      @GroupHandler([runEnded, giftGiven]) either(event: EventOf<typeof runEnded | typeof giftGiven>) {
        return event.group === 'run_ended' ? event.context.run.km : event.context.gift.amount;
      }
      @GroupHandler(all) named(event: EventOf<(typeof all)[number]>) {
        return event.group === 'run_ended' ? event.context.run.km : event.context.gift.amount;
      }
      @GroupHandler(loose) withoutLiteral(event: EventOf<typeof loose>) {
        return event.context.gift.amount;
      }
      @GroupHandler(converted) output(event: SparkEvent<{ at: Date }>) {
        return event.context.at.getTime();
      }
      @GroupHandler(/^run/) @GroupHandler('gift') byPattern(event: SparkEvent<Run>) {
        return event.context.run.km;
      }
    }
    const patternsOf = (method: keyof Right) =>
      metadataOf<{ pattern: RegExp }>(GROUP_HANDLER, Right.prototype[method]).map(({ pattern }) => pattern);
    expect(patternsOf('whole')).toEqual([/^run_ended$/]);
    expect(patternsOf('either')).toEqual([/^(?:run_ended|gift_given)$/]);
    expect(patternsOf('byPattern')).toEqual([/gift/, /^run/]);
  });

  it('accepts classes whose method fits', () => {
    @GroupHandler(runEnded)
    class Whole implements SparkHandler<Run> {
      handle(event: SparkEvent<Run>) {
        return event.context.run.km;
      }
    }
    @GroupHandler([runEnded, giftGiven])
    class Either {
      handle() {}
    }
    for (const type of [Whole, Either]) expect(metadataOf(GROUP_HANDLER, type)).toHaveLength(1);
  });

  it('refuses, when it is compiled, what does not fit', () => {
    const wrong = () => {
      class Wrong {
        // @ts-expect-error it is another context
        @GroupHandler(runEnded) context(event: SparkEvent<Gift>) {
          return event;
        }
        // @ts-expect-error it is another group
        @GroupHandler(runEnded) group(event: SparkEvent<Run, 'run_begun'>) {
          return event;
        }
        // @ts-expect-error one of the two does not fit
        @GroupHandler([runEnded, giftGiven]) one(event: EventOf<typeof runEnded>) {
          return event;
        }
        // @ts-expect-error it is the input of the schema, not its output
        @GroupHandler(converted) input(event: SparkEvent<{ at: string }>) {
          return event;
        }
        // @ts-expect-error it is not an event
        @GroupHandler(runEnded) number(event: number) {
          return event;
        }
        // @ts-expect-error a list holds definitions only
        @GroupHandler([runEnded, 'gift']) mixed(event: SparkEvent) {
          return event;
        }
        // @ts-expect-error it is no definition
        @GroupHandler(() => runEnded) lazy(event: SparkEvent) {
          return event;
        }
      }
      // @ts-expect-error its method has another context
      @GroupHandler(runEnded)
      class OtherContext {
        handle(event: SparkEvent<Gift>) {
          return event;
        }
      }
      // @ts-expect-error it has no method `handle`
      @GroupHandler(runEnded)
      class NoMethod {}
      return [Wrong, OtherContext, NoMethod];
    };
    expect(wrong).toBeInstanceOf(Function);
  });
});

describe('@GroupHandler with batch', () => {
  const batch = { max: 10 };

  it('accepts methods and classes that take a list', () => {
    class Right {
      @GroupHandler(/^run/, { batch }) pattern(events: SparkEvent<Run>[], { deliveryIds }: BatchScope) {
        return [events, deliveryIds];
      }
      @GroupHandler('^run', { batch }) readonlyList(events: readonly SparkEvent[]) {
        return events;
      }
      @GroupHandler(runEnded, { batch: { by: ({ context }) => context.run.km, wait: '1h' } })
      definition(events: EventOf<typeof runEnded>[]) {
        return events[0]?.context.run.km;
      }
      @GroupHandler([runEnded, giftGiven], { batch: { by: ({ group }) => group, wait: '1h' } })
      either(events: EventOf<typeof runEnded | typeof giftGiven>[]) {
        return events.length;
      }
      @GroupHandler(runEnded, { batch }) nothing() {}
    }
    @GroupHandler(runEnded, { batch })
    class Whole implements SparkBatchHandler<Run> {
      handle(events: readonly SparkEvent<Run>[]) {
        return events;
      }
    }
    for (const method of ['pattern', 'readonlyList', 'definition', 'either', 'nothing'] as const)
      expect(metadataOf(GROUP_HANDLER, Right.prototype[method])).toMatchObject([{ options: { batch: {} } }]);
    expect(metadataOf(GROUP_HANDLER, Whole)).toMatchObject([{ options: { batch } }]);
  });

  it('refuses, when it is compiled, a single event with batch and a list without', () => {
    const wrong = () => {
      class Wrong {
        // @ts-expect-error it gets a list
        @GroupHandler(/^run/, { batch }) pattern(event: SparkEvent<Run>) {
          return event;
        }
        // @ts-expect-error it gets a list
        @GroupHandler(runEnded, { batch }) single(event: EventOf<typeof runEnded>) {
          return event;
        }
        // @ts-expect-error they have another context
        @GroupHandler(runEnded, { batch }) others(events: SparkEvent<Gift>[]) {
          return events;
        }
        // @ts-expect-error a call of many events has no single delivery
        @GroupHandler(/^run/, { batch }) scope(_: SparkEvent[], scope: HandlerScope) {
          return scope;
        }
        // @ts-expect-error it gets a single event
        @GroupHandler(/^run/) patternList(events: SparkEvent<Run>[]) {
          return events;
        }
        // @ts-expect-error it gets a single event
        @GroupHandler(runEnded) list(events: readonly EventOf<typeof runEnded>[]) {
          return events;
        }
        // @ts-expect-error its context has no such property
        @GroupHandler(runEnded, { batch: { by: ({ context }) => context.gift.amount, wait: 1 } }) by() {}
      }
      // @ts-expect-error its method gets a list
      @GroupHandler(/^run/, { batch })
      class Single {
        handle(event: SparkEvent<Run>) {
          return event;
        }
      }
      // @ts-expect-error its method gets a single event
      @GroupHandler(/^run/)
      class List {
        handle(events: SparkEvent<Run>[]) {
          return events;
        }
      }
      return [Wrong, Single, List];
    };
    expect(wrong).toBeInstanceOf(Function);
  });
});
