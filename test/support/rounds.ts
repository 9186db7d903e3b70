/**
 * How often a random test does what it does.
 *
 * @param usual in `npm test`
 * @param stress in `npm run stress`
 */
export const rounds = (usual: number, stress: number): number => (process.env.SPARK_STRESS ? stress : usual);
