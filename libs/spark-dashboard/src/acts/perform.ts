import { address } from '../html/address.js';
import { BadRequestError } from '../view/bad-request.error.js';
import type { View } from '../view/view.js';
import type { Act } from './act.js';
import { audited, auditedInBackground } from './audit.js';

/** Does an action that is about one handler, source or entity. Returns the address of the page that shows it. */
export async function perform(view: View, act: Act): Promise<string> {
  const { spark, query, sweeps } = view;
  const now = async (work: Promise<void>) => {
    await work;
    return {};
  };
  switch (act.action) {
    case 'pauseHandler':
      await audited(view, act, () => now(spark.pauseHandler(query.needed('handler'))));
      return address('handlers');
    case 'resumeHandler':
      await audited(view, act, () => now(spark.resumeHandler(query.needed('handler'))));
      return address('handlers');
    case 'pauseSweep':
      await audited(view, act, () => now(spark.pauseSweep(query.needed('source'))));
      return address('sweeps');
    case 'resumeSweep':
      await audited(view, act, () => now(spark.resumeSweep(query.needed('source'))));
      return address('sweeps');
    case 'sweep': {
      const entity = await entityOfSource(view);
      if (!sweeps.isRunning(entity))
        await auditedInBackground(view, act, async () => ({ count: (await sweeps.start(spark, entity)).entered }));
      return address('sweeps');
    }
    default:
      throw new BadRequestError(`${act.action} is about deliveries.`);
  }
}

/** The entity in the address. Throws BadRequestError unless this process has a source of it. */
async function entityOfSource({ spark, query }: View): Promise<string> {
  const entity = query.needed('entity');
  const known = (await spark.sources()).map((source) => source.entity);
  if (known.includes(entity)) return entity;
  throw new BadRequestError(`This process has no source of the entity ${JSON.stringify(entity)}.`);
}
