"""PostgreSQL itself keeps the access log: rows are added, and nothing but who and where can ever be
taken out of them, nor the table be emptied. (SQLite has the guard of the models alone: one file,
one owner.)"""

from django.db import migrations

KEEP = """
CREATE FUNCTION access_events_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    forgettable text[] := ARRAY['actor_id', 'owner_id', 'connection_id', 'credential_id', 'ip', 'agent'];
BEGIN
    IF TG_OP = 'UPDATE'
        AND to_jsonb(NEW) - forgettable = to_jsonb(OLD) - forgettable
        AND (NEW.actor_id IS NULL OR NEW.actor_id = OLD.actor_id)
        AND (NEW.owner_id IS NULL OR NEW.owner_id = OLD.owner_id)
        AND (NEW.connection_id IS NULL OR NEW.connection_id = OLD.connection_id)
        AND (NEW.credential_id IS NULL OR NEW.credential_id = OLD.credential_id)
        AND (NEW.ip IS NULL OR NEW.ip = OLD.ip)
        AND (NEW.agent = '' OR NEW.agent = OLD.agent)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'access events are kept as they were written';
END $$;
CREATE TRIGGER access_events_are_kept BEFORE UPDATE OR DELETE ON connections_accessevent
    FOR EACH ROW EXECUTE FUNCTION access_events_are_kept();
CREATE TRIGGER access_events_are_not_emptied BEFORE TRUNCATE ON connections_accessevent
    FOR EACH STATEMENT EXECUTE FUNCTION access_events_are_kept();
"""
DROP = """
DROP TRIGGER access_events_are_not_emptied ON connections_accessevent;
DROP TRIGGER access_events_are_kept ON connections_accessevent;
DROP FUNCTION access_events_are_kept();
"""


def on_postgresql(sql):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(sql, params=None)

    return run


class Migration(migrations.Migration):
    dependencies = [("connections", "0002_exchange_rows")]
    operations = [migrations.RunPython(on_postgresql(KEEP), on_postgresql(DROP))]
