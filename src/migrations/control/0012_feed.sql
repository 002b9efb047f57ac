-- 0012_feed
do $$ begin end $$;
