import { Logger } from '@nestjs/common';
import type { SparkService } from 'nestjs-spark';
import { isAccess, Permission } from '../access/permission.js';
import { headerOf, isSameOrigin } from '../access/same-origin.js';
import type { DashboardSettings } from '../options/settings.js';
import { act, type Outcome } from '../pages/act.page.js';
import { closed, crossOrigin, refused } from '../pages/closed.page.js';
import { failed } from '../pages/failed.page.js';
import { notFound } from '../pages/not-found.page.js';
import { PAGES } from '../pages/pages.js';
import { textsFor } from '../texts/language.js';
import { Format } from '../view/format.js';
import { layout } from '../view/layout.js';
import { Query } from '../view/query.js';
import type { SweepWatch } from '../view/sweep-watch.js';
import type { Content, View } from '../view/view.js';
import type { Responder } from './responder.js';

/** The part of an address below the dashboard, and what stands around it. */
interface Place {
  /** The name of the page; empty for the overview. */
  readonly page: string;
  /** The whole path, without the search. */
  readonly path: string;
  /** With its `?`, or empty. */
  readonly search: string;
}

/** Answers all requests of one dashboard. */
export class Dashboard {
  private readonly logger = new Logger('Spark');

  constructor(
    private readonly settings: DashboardSettings,
    private readonly spark: () => SparkService,
    private readonly sweeps: SweepWatch,
    private readonly responder: Responder,
  ) {}

  /** Answers a GET: a page, or the stylesheet. */
  async read(request: unknown, response: unknown): Promise<void> {
    const place = this.placeOf(request);
    const { page } = place;
    if (page === 'style.css') return this.responder.stylesheet(response);
    const canonical = canonicalOf(place);
    if (canonical !== undefined) return this.responder.redirect(response, canonical, 307);
    const view = await this.viewOf(request, place);
    if (!view.permission.mayRead) return this.show(response, view, page, this.closedTo(view));
    const read = PAGES.get(page);
    const content = read ? await this.safely(view, () => read(view)) : notFound(view, view.texts.errors.noPage);
    this.show(response, view, page, content);
  }

  /** Answers a POST: an action. */
  async write(request: unknown, response: unknown): Promise<void> {
    const place = this.placeOf(request);
    const view = await this.viewOf(request, place);
    if (!view.permission.mayRead) return this.show(response, view, 'act', this.closedTo(view));
    if (!isSameOrigin(request)) return this.show(response, view, 'act', crossOrigin(view));
    if (place.page !== 'act') return this.show(response, view, 'act', notFound(view, view.texts.errors.noPage));
    const outcome = await this.safely(view, () => act(view));
    if ('to' in outcome) return this.responder.redirect(response, outcome.to, 303);
    this.show(response, view, 'act', outcome);
  }

  private placeOf(request: unknown): Place {
    const address = this.responder.addressOf(request);
    const at = address.indexOf('?');
    const { page = '', '*': rest = page } = (request as { params?: Record<string, string> }).params ?? {};
    return {
      page: rest.replace(/\/$/, ''),
      path: at < 0 ? address : address.slice(0, at),
      search: at < 0 ? '' : address.slice(at),
    };
  }

  private async viewOf(request: unknown, { search }: Place): Promise<View> {
    const { settings, sweeps } = this;
    const spark = this.spark();
    const texts = textsFor(headerOf(request, 'accept-language'));
    const query = new Query(new URLSearchParams(search));
    const permission = await this.permissionOf(request);
    return { settings, spark, sweeps, request, texts, query, permission, format: new Format(texts.language) };
  }

  private async permissionOf(request: unknown): Promise<Permission> {
    const granted = (await this.settings.access?.(request)) ?? false;
    if (!isAccess(granted))
      this.logger.error(
        `The option access of SparkDashboardModule has returned ${JSON.stringify(granted)}, so the request is refused. ` +
          `Return 'all', 'read', a list of actions, or false.`,
      );
    return new Permission(isAccess(granted) && granted);
  }

  private closedTo(view: View): Content {
    return this.settings.access === undefined ? closed(view) : refused(view);
  }

  private async safely<T extends Outcome>(view: View, work: () => Promise<T>): Promise<T | Content> {
    try {
      return await work();
    } catch (error) {
      return failed(view, error);
    }
  }

  private show(response: unknown, { texts, permission }: View, page: string, content: Content): void {
    const { title, environment } = this.settings;
    const current = page === '' ? './' : page;
    const frame = { texts, title, environment, current, mayRead: permission.mayRead };
    const { title: heading, body, status = 200 } = content;
    this.responder.page(response, layout(frame, heading, body), status, texts.language);
  }
}

/**
 * Where a page is, if it is not there: links are relative, so the overview must end with a slash, and no other page may. The result is
 * relative to the address of the request.
 */
function canonicalOf({ page, path, search }: Place): string | undefined {
  const endsWithSlash = path.endsWith('/');
  if (page === '' && !endsWithSlash) return `./${path.slice(path.lastIndexOf('/') + 1)}/${search}`;
  if (page !== '' && endsWithSlash && PAGES.has(page)) return `../${page}${search}`;
  return undefined;
}
