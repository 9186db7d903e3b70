/** The table with the version of the others. Its row stays when they are emptied. */
export const VERSION = 'spark_version';

/** Tells the tables of Spark that may have rows. */
export const isSparks = (table: string): boolean => table.startsWith('spark_') && table !== VERSION;
