import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { SCRIPT } from '../client/script.js';
import { STYLESHEET } from './stylesheet.js';

it('the stylesheet and the module have at most 40 KB together, as browsers load them', () => {
  expect(gzipSync(SCRIPT).length + gzipSync(STYLESHEET).length).toBeLessThan(40 * 1024);
});
