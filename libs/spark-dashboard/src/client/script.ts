import { createHash } from 'node:crypto';
import { MORPH } from './morph.js';
import { UPDATES } from './updates.js';

const BEGIN = String.raw`
const main = document.querySelector('main[data-live]');
const button = document.getElementById('live-button');
const status = document.getElementById('live-status');
if (main && button && status) keepUpToDate(main, button, status);

for (const slider of document.querySelectorAll('input[data-output]'))
  slider.addEventListener('input', () => (document.getElementById(slider.dataset.output).textContent = slider.value));
`;

/** The one module of all pages. They work without it. */
export const SCRIPT = `${MORPH}${UPDATES}${BEGIN}`.trimStart();

/** Names the version of the module, so that browsers may keep it for long. */
export const SCRIPT_VERSION = createHash('sha256').update(SCRIPT).digest('hex').slice(0, 12);
