export { sqliteDriver } from '../../apps/challenges/src/sqlite.js';
