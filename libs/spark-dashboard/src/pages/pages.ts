import type { Page } from '../view/view.js';
import { ask } from './act.page.js';
import { deliveries } from './deliveries.page.js';
import { delivery } from './delivery.page.js';
import { entity } from './entity.page.js';
import { errors } from './errors.page.js';
import { event } from './event.page.js';
import { events } from './events.page.js';
import { handlers } from './handlers.page.js';
import { held } from './held.page.js';
import { overview } from './overview.page.js';
import { plan } from './plan.page.js';
import { rechecks } from './rechecks.page.js';
import { sweeps } from './sweeps.page.js';
import { workers } from './workers.page.js';

/** All pages, by the last part of their address. */
export const PAGES: ReadonlyMap<string, Page> = new Map(
  Object.entries({
    '': overview,
    act: ask,
    deliveries,
    delivery,
    entity,
    errors,
    event,
    events,
    handlers,
    held,
    plan,
    rechecks,
    sweeps,
    workers,
  }),
);

/** Pages that run sources, or count: each is read only when a person asks for it. */
const AT_REST = ['act', 'entity', 'plan'];

/** The pages that are kept up to date. */
export const LIVE: ReadonlyMap<string, Page> = new Map([...PAGES].filter(([name]) => !AT_REST.includes(name)));
