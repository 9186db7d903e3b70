import type { SparkService } from 'nestjs-spark';
import type { Permission } from '../access/permission.js';
import type { DashboardSettings } from '../options/settings.js';
import type { Texts } from '../texts/en.js';
import type { Format } from './format.js';
import type { Query } from './query.js';
import type { SweepWatch } from './sweep-watch.js';
import type { Content, Work } from './work.js';

/** What a page is made of. */
export interface View {
  readonly spark: SparkService;
  readonly sweeps: SweepWatch;
  readonly settings: DashboardSettings;
  readonly permission: Permission;
  readonly query: Query;
  readonly texts: Texts;
  readonly format: Format;
  readonly request: unknown;
}

export type { Content } from './work.js';

/** Reads what a page shows. */
export type Page = (view: View) => Promise<Content | Work>;

/** Up to which number lists count. */
export const COUNTED = 1_000;

/** About how many rows a list reads. */
export const MOST_READ = 10_000;
