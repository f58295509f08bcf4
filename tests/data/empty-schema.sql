-- empty_schema(place) leaves a store's schema as it was made: no row but its settings, and numbers from 1.
-- Returns a fingerprint of all that is no row. The table `settings` keeps the settings as they were.
CREATE FUNCTION empty_schema(place text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  item regclass;
BEGIN
  FOR item IN SELECT oid FROM pg_class WHERE relnamespace = place::regnamespace AND relkind = 'r'
      AND relname <> 'schema_version' LOOP
    EXECUTE format('DELETE FROM %s', item);
  END LOOP;
  FOR item IN SELECT oid FROM pg_class WHERE relnamespace = place::regnamespace AND relkind = 'S' LOOP
    PERFORM setval(item, 1, false);
  END LOOP;
  EXECUTE format('INSERT INTO %I.agent_coordination_config SELECT * FROM settings', place);
  RETURN (
    SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
      SELECT concat(relname, relkind, relpersistence, relrowsecurity, relhassubclass, indisvalid) AS line
        FROM pg_class LEFT JOIN pg_index ON indexrelid = oid WHERE relnamespace = place::regnamespace
      UNION ALL SELECT concat(relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
        FROM pg_class c JOIN pg_attribute ON attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
        WHERE relnamespace = place::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
      UNION ALL SELECT concat(relname, rulename) FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class
        WHERE relnamespace = place::regnamespace
      UNION ALL SELECT concat(conname, convalidated) FROM pg_constraint WHERE connamespace = place::regnamespace
      UNION ALL SELECT concat(proname, prosrc) FROM pg_proc WHERE pronamespace = place::regnamespace
      UNION ALL SELECT concat(tgname, tgenabled) FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
        WHERE relnamespace = place::regnamespace) AS lines);
END $$;
