-- 0013_refresh
do $$ begin end $$;
