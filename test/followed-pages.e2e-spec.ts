import { describe, it } from 'vitest';
import { databases } from './support/databases.js';
import { FollowedPage } from './support/followed-page.js';

describe.each(databases)('the documents, followed to the letter on $name', (database) => {
  it('repeat events as they say', async () => {
    const db = await database.create();
    const page = await FollowedPage.open('repeating-events', { database: db, now: '2026-06-01T00:00:00Z' });
    try {
      await page.follow();
    } finally {
      await page.close();
      await db.drop();
    }
  }, 120_000);
});
