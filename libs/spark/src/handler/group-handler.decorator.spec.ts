import { describe, expect, it } from 'vitest';
import { metadataOf } from '../common/decorator-metadata.js';
import { defineEvent, type EventOf } from '../event/event-definition.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { StandardSchema } from '../event/standard-schema.js';
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
