import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { inject } from 'vitest';

/** Whether this machine has a Chromium. Where it has none, the tests with a browser are skipped. */
export const hasBrowser = inject('chromium') !== undefined;

/** Starts Chromium, without a window and with a profile of its own. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: inject('chromium'), args: ['--disable-gpu', '--disable-quic'] });

/** A person's browser: a page, and all that must not happen on it. */
export interface Visit {
  readonly page: Page;
  /** Reports of the policy, errors of scripts and of the console, dialogs, and requests to other hosts than that of the application. */
  readonly complaints: string[];
  /** The addresses that the page has asked for. */
  readonly requests: string[];
  /** Opens a page of the dashboard. Returns the status of the answer. */
  open(path: string): Promise<number>;
  close(): Promise<void>;
}

// Reports of the policy reach the console, too, but not in all cases.
const REPORT = `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
  console.error('policy: ' + violatedDirective + ' ' + blockedURI))`;

/**
 * Opens an empty page.
 *
 * @param base The address of the dashboard, with a slash at its end.
 */
export async function visit(browser: Browser, base: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  const { origin } = new URL(base);
  if (options.javaScriptEnabled !== false) await page.addInitScript({ content: REPORT });
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`script: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = request.url();
    requests.push(url);
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) complaints.push(`request: ${url}`);
  });
  return {
    page,
    complaints,
    requests,
    open: async (path) => (await page.goto(new URL(path, base).href))!.status(),
    close: () => context.close(),
  };
}

/** How much wider the page is than the window, in pixels. */
export const overflowOf = (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');

/** Hides the page, as if another tab were in front of it, or shows it again. */
export const show = (page: Page, isShown: boolean): Promise<void> =>
  page.evaluate(`for (const [name, value] of Object.entries({ hidden: ${!isShown}, visibilityState: '${isShown ? 'visible' : 'hidden'}' }))
    Object.defineProperty(document, name, { configurable: true, get: () => value });
  document.dispatchEvent(new Event('visibilitychange'));`);
